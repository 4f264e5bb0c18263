"""The shop door: the order form, the status page and the webhook, for `downstream serve`."""
