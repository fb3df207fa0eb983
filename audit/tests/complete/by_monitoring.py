"""Steps through the write services of monitoring."""

from __future__ import annotations

from audit.tests.complete.by_registry import live
from audit.tests.complete.world import World, step
from monitoring.models import AlertRule
from monitoring.services import alerts, rules
from monitoring.tests.factories import AlertFactory
from registry.models import Deployment


@step
def alert_rule_is_created(world: World) -> None:
    with world.serving():
        rules.create_rule(
            world.fraud,
            name=world.name(),
            deployment=live(world, Deployment),
            metric_name="latency",
            threshold=world.choose([0.1, 1e300, -1.5, 3.0]),
            labels=world.document(),
        )


@step
def alert_rule_is_updated(world: World) -> None:
    with world.serving():
        rule = live(world, AlertRule)
        rules.update_rule(rule, name=world.name(), threshold=0.30000000000000004)


@step
def alert_rule_is_deleted_and_restored(world: World) -> None:
    with world.serving():
        rule = live(world, AlertRule)
        rules.delete_rule(rule)
        if world.choose([True, False]):
            rules.restore_rule(rule)


@step
def alert_is_acknowledged_and_resolved(world: World) -> None:
    alert = AlertFactory(rule=live(world, AlertRule), summary=world.text())
    with world.serving():
        alerts.acknowledge_alert(alert)
        alerts.resolve_alert(alert, resolution=world.text())


@step
def alerts_of_a_rule_are_resolved(world: World) -> None:
    rule = live(world, AlertRule)
    AlertFactory(rule=rule)
    with world.serving():
        alerts.resolve_alerts_of(rule, resolution="gone")
