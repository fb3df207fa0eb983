"""Entry point of the web processes."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from mlops.db.privileges import watch
from mlops.overload import gate_before
from mlops.proxies import never_nameless
from mlops.stalls import Reaper

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlops.settings")
application = gate_before(never_nameless(get_wsgi_application()))
Reaper(application.work).start()
watch.look_at_start()
