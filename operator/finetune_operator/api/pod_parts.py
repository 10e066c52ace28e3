"""The parts of a pod that a job may describe: typed in the CRD, plain dicts in here, for they go into pods."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from finetune_trainer.contract.model import Model
from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

QUANTITY = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
"""An amount as Kubernetes writes it, for example 500m, 1.5 or 64Gi."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Marks a dict that must look like a model, and has its schema, but stays a dict."""

    model: type[Model]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the dict as the model would, and keep it."""
        return core_schema.no_info_after_validator_function(self.checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the dict as the model."""
        return handler(self.model.__pydantic_core_schema__)

    def checked(self, value: dict[str, Any]) -> dict[str, Any]:
        """The dict, unchanged; raises when the model would."""
        self.model.model_validate(value)
        return value


class Toleration(Model):
    """A taint that the pods tolerate."""

    key: str | None = None
    """The taint's key; every taint when absent."""
    operator: Literal["Exists", "Equal", "Lt", "Gt"] | None = None
    """How the value is compared; Equal when absent."""
    value: str | None = None
    """The taint's value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; all effects when absent."""
    toleration_seconds: int | None = None
    """How long a NoExecute taint is tolerated; for ever when absent."""


class KeySelector(Model):
    """A key of a Secret or ConfigMap."""

    name: str = Field(min_length=1, max_length=253)
    """The name of the Secret or ConfigMap."""
    key: str = Field(min_length=1, max_length=253)
    """The key in it."""
    optional: bool | None = None
    """Whether it may be absent."""


class FieldSelector(Model):
    """A field of the pod."""

    field_path: str = Field(max_length=253)
    """The path of the field, for example metadata.name."""
    api_version: str | None = None
    """The version of the path's format; v1 when absent."""


class EnvVarSource(Model):
    """Where a variable's value comes from."""

    secret_key_ref: KeySelector | None = None
    """A key of a Secret."""
    config_map_key_ref: KeySelector | None = None
    """A key of a ConfigMap."""
    field_ref: FieldSelector | None = None
    """A field of the pod."""


class EnvVar(Model):
    """An environment variable of the trainer."""

    name: str = Field(min_length=1, max_length=256)
    """The variable's name."""
    value: str | None = Field(default=None, max_length=32768)
    """The variable's value."""
    value_from: EnvVarSource | None = None
    """Where the value comes from, instead of value."""


class ClaimSource(Model):
    """A PersistentVolumeClaim in the job's namespace."""

    claim_name: str = Field(min_length=1, max_length=253)
    """The claim's name."""
    read_only: bool | None = None
    """Whether it is mounted read-only."""


class ProjectedSource(Model):
    """One source of a projected volume."""

    config_map: dict[str, Any] | None = None
    """A ConfigMap, as in a pod."""
    secret: dict[str, Any] | None = None
    """A Secret, as in a pod."""
    downward_api: dict[str, Any] | None = Field(default=None, alias="downwardAPI")
    """Fields of the pod, as in a pod."""
    service_account_token: dict[str, Any] | None = None
    """Refused: a trainer has no access to the cluster's API."""


class Projected(Model):
    """Several sources in one folder."""

    sources: tuple[ProjectedSource, ...] = Field(default=(), max_length=16)
    """The sources."""
    default_mode: int | None = Field(default=None, ge=0, le=511)
    """The permissions of files, as a decimal number."""


class Volume(Model):
    """A volume of the harmless kinds; exactly one source."""

    name: str = Field(min_length=1, max_length=63)
    """The name by which volumeMounts refer to it."""
    persistent_volume_claim: ClaimSource | None = None
    """A PersistentVolumeClaim, for example with models or data."""
    config_map: dict[str, Any] | None = None
    """A ConfigMap, as in a pod."""
    secret: dict[str, Any] | None = None
    """A Secret, as in a pod."""
    empty_dir: dict[str, Any] | None = None
    """A scratch directory, as in a pod."""
    projected: Projected | None = None
    """Several sources in one folder."""
    csi: dict[str, Any] | None = None
    """An inline CSI volume, as in a pod."""
    ephemeral: dict[str, Any] | None = None
    """A claim that lives as long as the pod, as in a pod."""
    image: dict[str, Any] | None = None
    """The files of an image, as in a pod."""
    host_path: dict[str, Any] | None = None
    """Refused: a job has no right to the node's files."""


class VolumeMount(Model):
    """Where a volume is mounted."""

    name: str = Field(min_length=1, max_length=63)
    """The volume's name."""
    mount_path: str = Field(min_length=1, max_length=1024)
    """The path in the trainer's container."""
    sub_path: str | None = None
    """The folder of the volume; its root when absent."""
    read_only: bool | None = None
    """Whether it is mounted read-only."""


Quantity = Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=QUANTITY)]


class Resources(Model):
    """Further requests and limits of the trainer's container."""

    requests: dict[str, Quantity] = {}
    """What the scheduler reserves, by resource name."""
    limits: dict[str, Quantity] = {}
    """What the container may use, by resource name."""
