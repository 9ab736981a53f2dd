"""The bytes of an image: deterministic tars, configs, manifests (OCI image-spec v1.1). Pure: asks and sends nothing."""
