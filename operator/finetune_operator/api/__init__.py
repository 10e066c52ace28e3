"""The resource as pure data: models, conditions, the generated CRD. No I/O, no clock, no Kopf, no client."""
