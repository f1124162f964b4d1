"""NGINX before the gateway on a host: one template, rendered for its settings and for the nginx at hand."""
