"""The outside services as servers on loopback that speak their wire formats, check every request and keep a bill."""
