"""Images, films and meshes that a person looks at, drawn from factors."""
