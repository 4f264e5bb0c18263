"""The shop: orders before they are jobs, payments in and out, and what a customer may ask for."""
