"""All the services at once, and the settings that point the program at them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from fakes.gemini import FakeGemini
from fakes.replicate import FakeReplicate
from fakes.smtp import FakeSmtp
from fakes.vercel import FakeVercel

if TYPE_CHECKING:
    from fakes.service import Charge
    from fakes.stripe import FakeStripe

SMALL_PICTURE = (176, 99)
SMALL_CLIP = (176, 98)


class Services:
    """Gemini, Replicate, Vercel and the mail service, started together. Give your own for other sizes or latencies.

    Stripe is there only when it is given: with its key the program keeps a shop, and looks for payments at every run.
    """

    def __init__(
        self,
        *,
        gemini: FakeGemini | None = None,
        replicate: FakeReplicate | None = None,
        vercel: FakeVercel | None = None,
        smtp: FakeSmtp | None = None,
        stripe: FakeStripe | None = None,
    ) -> None:
        self.gemini = gemini or FakeGemini(picture_size=SMALL_PICTURE)
        self.replicate = replicate or FakeReplicate(clip_size=SMALL_CLIP, clip_seconds=1.0, smallest_side=90)
        self.vercel = vercel or FakeVercel()
        self.smtp = smtp or FakeSmtp()
        self.stripe = stripe
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for service in (self.gemini, self.replicate, self.vercel, self.smtp, self.stripe):
            if service:
                self._stack.enter_context(service)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def environment(self) -> dict[str, str]:
        """The settings of a ``downstream`` process that works against these services."""
        team = {"VERCEL_TEAM_ID": self.vercel.team_id} if self.vercel.team_id else {}
        return {
            **team,
            **self._shop(),
            "GOOGLE_AI_API_KEY": self.gemini.key,
            "GOOGLE_GEMINI_BASE_URL": self.gemini.base_url,
            "REPLICATE_API_TOKEN": self.replicate.token,
            "REPLICATE_BASE_URL": self.replicate.base_url,
            "VERCEL_TOKEN": self.vercel.token,
            "VERCEL_BASE_URL": self.vercel.base_url,
            "SMTP_URL": self.smtp.url,
            "SSL_CERT_FILE": str(self.smtp.authority),
            "MAIL_FROM": "DownStream <stories@example.com>",
            "OPERATOR_EMAIL": "operator@example.com",
        }

    def _shop(self) -> dict[str, str]:
        if self.stripe is None:
            return {}
        return {
            "STRIPE_API_KEY": self.stripe.key,
            "STRIPE_WEBHOOK_SECRET": self.stripe.webhook_secret,
            "STRIPE_BASE_URL": self.stripe.base_url,
        }

    @property
    def violations(self) -> list[str]:
        """What clients sent that the contracts do not allow."""
        shop = self.stripe.violations if self.stripe else []
        return [*self.gemini.violations, *self.replicate.violations, *self.vercel.violations, *shop]

    @property
    def bill(self) -> list[Charge]:
        """Every accepted call that costs money, in the order of time."""
        return sorted([*self.gemini.bill, *self.replicate.bill], key=lambda charge: charge.at)

    @property
    def faults_left(self) -> int:
        """How many planned faults have not happened yet."""
        services = (self.gemini, self.replicate, self.vercel, self.smtp, self.stripe)
        return sum(each.faults_left for each in services if each)
