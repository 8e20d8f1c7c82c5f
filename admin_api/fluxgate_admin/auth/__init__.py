"""Who calls: keys and signatures, OAuth2 clients, service accounts, tokens of the cluster's."""
