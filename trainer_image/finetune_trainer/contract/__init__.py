"""What crosses between operator and trainer, typed: stdlib and pydantic only.

It is all that the operator may import from the trainer. `run_config` tells what to train, `outcome` and
`progress` tell what happened, `environment` names the variables and paths through which both find each other.
"""
