"""The same roles as the outside services, played on this machine with no network and no keys."""
