"""The paths of the service, a file each group."""
