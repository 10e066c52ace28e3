"""What writes the generated files; no part of the product."""
