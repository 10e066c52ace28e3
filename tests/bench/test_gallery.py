from bench.gallery import failed, with_seconds

PAGE = """\
| [good](../examples/good.yaml) | text | words | 23 |
| [bad](../examples/bad.yaml) | text | words | 94 |
"""
FIGURES = {"good": {"seconds": 24.6, "steps": 3}, "bad": {"seconds": 1.2, "failed": "Traceback"}}


def test_an_example_that_failed_is_named_and_keeps_its_old_figure() -> None:
    assert failed(FIGURES) == ("bad",)
    assert with_seconds(PAGE, FIGURES) == PAGE.replace("23", "25")
