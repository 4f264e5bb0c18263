"""Payments by Stripe Checkout."""

from downstream.providers.stripe.payments import StripePayments

__all__ = ["StripePayments"]
