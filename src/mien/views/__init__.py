"""Images, films and meshes that a person looks at, rendered from factors."""
