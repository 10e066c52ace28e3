"""The fixtures of tests that run the real trainer, so that a session has one model for all."""

from tests.trainer.resume_fixtures import config, job, material, server

__all__ = ["config", "job", "material", "server"]
