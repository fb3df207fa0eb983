"""How the browser admin looks: titles, colours, and the groups of its sidebar."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _asset(name: str) -> Callable[[HttpRequest], str]:
    return lambda request: static(name)


def _entry(title: str, icon: str, model: str) -> dict[str, object]:
    link = reverse_lazy(f"admin:{model}_changelist")
    return {"title": title, "icon": icon, "link": link}


UNFOLD = {
    "SITE_TITLE": "MLOps platform",
    "SITE_HEADER": "MLOps platform",
    "SITE_SUBHEADER": "Administration",
    "SITE_URL": None,
    "SITE_SYMBOL": "hub",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": _asset("admin/platform/icon.svg"),
        },
    ],
    "STYLES": [_asset("admin/platform/admin.css")],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "8px",
    "COLORS": {
        "primary": {
            "50": "oklch(97.7% .013 236.62)",
            "100": "oklch(95.1% .026 236.824)",
            "200": "oklch(90.1% .058 230.902)",
            "300": "oklch(82.8% .111 230.318)",
            "400": "oklch(74.6% .16 232.661)",
            "500": "oklch(68.5% .169 237.323)",
            "600": "oklch(58.8% .158 241.966)",
            "700": "oklch(50% .134 242.749)",
            "800": "oklch(44.3% .11 240.79)",
            "900": "oklch(39.1% .09 240.876)",
            "950": "oklch(29.3% .066 243.157)",
        },
    },
    "COMMAND": {"search_callback": "tenants.admin_site.search_rows"},
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": [
            {
                "items": [
                    {
                        "title": "Overview",
                        "icon": "space_dashboard",
                        "link": reverse_lazy("admin:index"),
                    },
                ],
            },
            {
                "title": "Tenants",
                "separator": True,
                "items": [
                    _entry("Organizations", "domain", "tenants_organization"),
                    _entry("Projects", "folder_open", "tenants_project"),
                    _entry("Memberships", "group", "tenants_membership"),
                    _entry("Project members", "group_add", "tenants_projectmember"),
                    _entry("Service accounts", "smart_toy", "tenants_serviceaccount"),
                    _entry("API tokens", "key", "tenants_apitoken"),
                    _entry("Users", "person", "tenants_user"),
                ],
            },
            {
                "title": "Registry",
                "separator": True,
                "items": [
                    _entry("Experiments", "science", "registry_experiment"),
                    _entry("Runs", "directions_run", "registry_run"),
                    _entry(
                        "Registered models", "deployed_code", "registry_registeredmodel"
                    ),
                    _entry("Model versions", "history", "registry_modelversion"),
                    _entry("Packages", "package_2", "registry_package"),
                    _entry("Datasets", "database", "registry_dataset"),
                    _entry("Deployments", "rocket_launch", "registry_deployment"),
                ],
            },
            {
                "title": "Monitoring",
                "separator": True,
                "items": [
                    _entry("Alerts", "notifications_active", "monitoring_alert"),
                    _entry("Alert rules", "rule", "monitoring_alertrule"),
                    _entry("Drift reports", "ssid_chart", "monitoring_driftreport"),
                    _entry("Points", "show_chart", "monitoring_monitoringpoint"),
                    _entry("Jobs", "engineering", "procrastinate_procrastinatejob"),
                ],
            },
            {
                "title": "Audit",
                "separator": True,
                "items": [
                    _entry("Audit logs", "policy", "audit_auditlog"),
                ],
            },
        ],
    },
}
