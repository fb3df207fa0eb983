from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin import apps as django_admin


class TenantsConfig(AppConfig):
    name = "tenants"


class PlatformAdminConfig(django_admin.AdminConfig):
    """Django's admin with our site in the place of its own."""

    default = False
    default_site = "tenants.admin_site.PlatformAdminSite"
