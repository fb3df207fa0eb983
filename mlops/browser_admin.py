"""How the browser admin looks: titles, colours, and the groups of its sidebar."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _asset(name: str) -> Callable[[HttpRequest], str]:
    return lambda request: static(name)


def is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_superuser)


def is_other_staff(request: HttpRequest) -> bool:
    """Staff that enters one organization at a time, by a support grant."""
    return not request.user.is_superuser


def everybody(request: HttpRequest) -> bool:
    return True


def _entry(
    title: str,
    icon: str,
    model: str,
    permission: Callable[[HttpRequest], bool] = everybody,
) -> dict[str, object]:
    link = reverse_lazy(f"admin:{model}_changelist")
    return {"title": title, "icon": icon, "link": link, "permission": permission}


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
    "STYLES": [
        _asset("admin/platform/colors.css"),
        _asset("admin/platform/admin.css"),
    ],
    # Before Alpine, which reads the page with its help.
    "SCRIPTS": [_asset("admin/platform/expressions.js")],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "tenants.admin_support.status_word",
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
                    {
                        "title": "Support",
                        "icon": "support_agent",
                        "link": reverse_lazy("admin:support"),
                        "permission": is_other_staff,
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
                    _entry("Invitations", "mail", "tenants_invitation"),
                    _entry("Single sign-on", "passkey", "tenants_singlesignon"),
                    _entry("Project members", "group_add", "tenants_projectmember"),
                    _entry("Service accounts", "smart_toy", "tenants_serviceaccount"),
                    _entry("API tokens", "key", "tenants_apitoken"),
                    _entry("Support grants", "support_agent", "tenants_supportgrant"),
                    _entry("Users", "person", "tenants_user", is_superuser),
                    _entry("Erasures", "no_accounts", "tenants_erasure", is_superuser),
                ],
            },
            {
                "title": "Registry",
                "separator": True,
                "items": [
                    _entry("Experiments", "science", "registry_experiment"),
                    _entry("Runs", "directions_run", "registry_run"),
                    _entry("Logged models", "model_training", "registry_loggedmodel"),
                    _entry(
                        "Registered models", "deployed_code", "registry_registeredmodel"
                    ),
                    _entry("Model versions", "history", "registry_modelversion"),
                    _entry("Packages", "package_2", "registry_package"),
                    _entry("Uploads", "upload_file", "registry_multipartupload"),
                    _entry("Retention rules", "auto_delete", "registry_retentionrule"),
                    _entry("Datasets", "database", "registry_dataset"),
                    _entry(
                        "Evaluation datasets",
                        "quiz",
                        "registry_evaluationdataset",
                    ),
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
                    _entry(
                        "Jobs",
                        "engineering",
                        "procrastinate_procrastinatejob",
                        is_superuser,
                    ),
                ],
            },
            {
                "title": "Audit",
                "separator": True,
                "items": [
                    _entry("Audit logs", "policy", "audit_auditlog"),
                    _entry("Seals", "verified", "audit_seal"),
                    _entry("Anchors", "anchor", "audit_anchor", is_superuser),
                    _entry("Archives", "archive", "audit_archive", is_superuser),
                ],
            },
        ],
    },
}
