"""The library as a service: HTTP on this machine's loopback, for programs and for a page."""
