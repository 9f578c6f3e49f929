"""A small OpenID provider for machines: client credentials in, signed access tokens (RFC 9068) out."""
