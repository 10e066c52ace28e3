"""`python -m finetune_operator`."""

from finetune_operator.main import main

if __name__ == "__main__":
    main()
