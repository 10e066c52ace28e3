"""Where the final model goes."""

from finetune_trainer.contract.model import Model


class VolumeReference(Model):
    """A folder of a PersistentVolumeClaim in the job's namespace."""

    claim_name: str
    """The PersistentVolumeClaim."""
    sub_path: str | None = None
    """The folder in it; the job's name when absent."""


class RegistryLink(Model):
    """A W&B Registry collection that the final model is linked to."""

    collection: str
    """The collection, as registry/collection."""
    aliases: tuple[str, ...] = ()
    """The aliases it gets there."""


class HubPush(Model):
    """A Hub repository that the final model is pushed to."""

    repo: str
    """The repository, as owner/name."""
    private: bool = True
    """Whether the repository is private."""


class Output(Model):
    """Where the final model goes, beside the W&B artifact."""

    merged: bool = False
    """Whether an adapter (peft) is merged into its model at the end; otherwise the final model is the adapter alone."""
    registry: RegistryLink | None = None
    """A W&B Registry collection."""
    hub: HubPush | None = None
    """A Hub repository."""
    volume: VolumeReference | None = None
    """A volume."""
    uri: str | None = None
    """A folder of a bucket, s3:// or gs://, with nothing else in it."""
