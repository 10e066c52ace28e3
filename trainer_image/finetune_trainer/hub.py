"""What the Hub's answers mean for the job: its author's mistake, or the Hub's bad day."""

from collections.abc import Iterator

from finetune_trainer.errors import ConfigurationError, RetryLater, TrainerError

SERVER_IS_BUSY = 429


def chain(problem: BaseException) -> Iterator[BaseException]:
    """An exception and those that led to it, newest first."""
    current: BaseException | None = problem
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def refusal(problem: BaseException, uri: str) -> TrainerError | None:
    """What a failed request to the Hub means; nothing when the request was answered, or the data are not there."""
    found = [known for one in chain(problem) if (known := _known(one, uri)) is not None]
    return found[-1] if found else None


def _known(problem: BaseException, uri: str) -> TrainerError | None:
    import httpx
    from huggingface_hub import errors

    if isinstance(problem, errors.GatedRepoError):
        return ConfigurationError(
            "GatedRepo",
            f"{uri} is gated and this token has no access. Accept its terms on the Hub, and name a Secret with the "
            "token of that account in hub.secretRef.",
        )
    if isinstance(problem, errors.HfHubHTTPError) and not isinstance(problem, errors.RepositoryNotFoundError):
        return _by_status(problem.response.status_code, uri)
    if isinstance(problem, httpx.TransportError | ConnectionError | TimeoutError):
        return RetryLater(
            "HubUnreachable", f"The Hub cannot be reached for {uri}: {problem}. It is tried again; see hub.endpoint."
        )
    return None


def _by_status(status: int, uri: str) -> TrainerError | None:
    if status in {401, 403}:
        return ConfigurationError(
            "TokenRefused",
            f"The Hub refuses this job's token for {uri} ({status}). Put a valid token into the Secret that "
            "hub.secretRef names.",
        )
    if status >= 500 or status == SERVER_IS_BUSY:
        return RetryLater("HubUnavailable", f"The Hub answered {status} for {uri}. It is tried again.")
    return None
