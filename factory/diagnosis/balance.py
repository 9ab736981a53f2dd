"""The account's money is gone, or will be within a day: workers stop, and nothing new can be made.

Cause: without money RunPod stops workers, makes no endpoint below $0.01 (recorded answers, 2026-08), and may delete
volumes in the end (docs.runpod.io, read 2026-11-23).
Command: none; add credit in RunPod's console (Billing), then `factory recreate RECIPE` if jobs get 404 even so.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.diagnosis.evidence import Evidence
from factory.diagnosis.finding import Finding, Mend
from factory.provisioning.preflight import LEAST_BALANCE_USD, signed_money
from factory.wording import money_text

RULE = "balance"
SOON_H = 24
ADD_CREDIT = Mend("add credit in RunPod's console (Billing)")


def is_gone(evidence: Evidence) -> bool:
    """Is there no money left? An unknown balance (NaN) is none of it."""
    balance = evidence.account.balance
    return balance.balance_usd < LEAST_BALANCE_USD or balance.is_under_balance


def find(evidence: Evidence) -> Iterator[Finding]:
    """Find a balance that is used up, or lasts less than a day at the present rate."""
    balance = evidence.account.balance
    if is_gone(evidence):
        yield Finding(
            RULE,
            "error",
            f"the account has {signed_money(balance.balance_usd)}",
            "RunPod stops the workers and makes and starts nothing without money",
            ADD_CREDIT,
            "certain",
            {"balance_usd": balance.balance_usd},
        )
    elif balance.spend_usd_per_h > 0 and balance.balance_usd < balance.spend_usd_per_h * SOON_H:
        left_h = balance.balance_usd / balance.spend_usd_per_h
        sum_text = f"{money_text(balance.balance_usd)} ÷ {money_text(balance.spend_usd_per_h)} an hour"
        yield Finding(
            RULE,
            "warning",
            f"the balance lasts {left_h:.1f} hours ({sum_text})",
            "when it is used up, RunPod stops the workers, and volumes may be lost",
            ADD_CREDIT,
            "certain",
            {"balance_usd": balance.balance_usd, "spend_usd_per_h": balance.spend_usd_per_h},
        )
