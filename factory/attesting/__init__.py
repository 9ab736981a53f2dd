"""What an image carries beside its layers: SBOM, provenance, signature; and the scan that lets no secret out."""
