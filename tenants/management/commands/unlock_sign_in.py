from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mlops import throttles
from mlops.addresses import network_of
from mlops.cli import MaintenanceCommand, Report, UsageError
from mlops.errors import DomainError
from tenants.accounts import lockout
from tenants.context import Actor
from tenants.services.sessions import person_named, unlock_sign_in
from tenants.unscoped import every_organization


class Command(MaintenanceCommand):
    help = "Let a person sign in again who was locked out by bad passwords or codes."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--address", help="unlock this address for everybody, too")

    def work(self, **options: Any) -> Report:
        origin = origin_of(options["address"])
        actor = Actor(kind="command", label="unlock_sign_in")
        try:
            with every_organization(actor, reason="asked for by an operator"):
                person = person_named(options["username"])
                if not options["dry_run"]:
                    unlock_sign_in(person)
        except DomainError as error:
            raise UsageError(error.message) from error
        what = f"{person.username}{also(origin)}"
        if options["dry_run"]:
            return Report(lines=[f"Would unlock {what}."])
        if origin:
            throttles.forget(lockout.ADDRESS, origin)
        own = {"username": person.username, "address": origin}
        return Report(own=own, lines=[f"{what} is unlocked."])


def origin_of(address: str | None) -> str:
    """Raises UsageError for what is no address."""
    if not address:
        return ""
    if not (origin := network_of(address)):
        raise UsageError(f"--address={address}: write an IPv4 or IPv6 address.")
    return origin


def also(origin: str) -> str:
    return f" and the address {origin}" if origin else ""
