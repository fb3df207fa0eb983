from django.db import migrations

from mlops.db.operations import ForbidChange, GuardFacts, ProtectTenantTable

IN_PROJECT = {"project_id": "projects"}
OF_RUN = {"experiment_run_id": "experiment_runs"}
OF_MODEL = {"model_id": "registered_models"}
REMOVABLE = "SELECT, INSERT, UPDATE, DELETE"

# Packages also carry the project in their key, so that what refers to a package can
# hold the project as well.
PACKAGE_KEY = """
ALTER TABLE packages ADD CONSTRAINT packages_organization_id_project_id_id
    UNIQUE (organization_id, project_id, id);
ALTER TABLE model_versions ADD CONSTRAINT model_versions_package_id_project_fk
    FOREIGN KEY (organization_id, project_id, package_id)
    REFERENCES packages (organization_id, project_id, id);
"""
NO_PACKAGE_KEY = """
ALTER TABLE model_versions DROP CONSTRAINT model_versions_package_id_project_fk;
ALTER TABLE packages DROP CONSTRAINT packages_organization_id_project_id_id;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0001_initial"),
        ("tenants", "0002_protect"),
    ]

    operations = [
        ProtectTenantTable("Experiment", parents=IN_PROJECT),
        ProtectTenantTable(
            "ExperimentTag",
            parents={"experiment_id": "experiments"},
            grants=REMOVABLE,
            keyed=False,
        ),
        ProtectTenantTable(
            "Run", parents={**IN_PROJECT, "experiment_id": "experiments"}
        ),
        ProtectTenantTable("Param", grants="SELECT, INSERT", keyed=False),
        GuardFacts("Param", column="experiment_run_id", parent="experiment_runs"),
        ProtectTenantTable("RunTag", grants=REMOVABLE, keyed=False),
        GuardFacts("RunTag", column="experiment_run_id", parent="experiment_runs"),
        ProtectTenantTable("Metric", grants="SELECT, INSERT", keyed=False),
        GuardFacts("Metric", column="experiment_run_id", parent="experiment_runs"),
        ProtectTenantTable("LatestMetric", keyed=False),
        GuardFacts(
            "LatestMetric", column="experiment_run_id", parent="experiment_runs"
        ),
        ProtectTenantTable("Dataset", parents={"experiment_id": "experiments"}),
        ProtectTenantTable(
            "RunInput", parents={**OF_RUN, "dataset_id": "datasets"}, keyed=False
        ),
        ProtectTenantTable("Blob"),
        ProtectTenantTable("Package", parents=IN_PROJECT),
        ForbidChange("Package", columns=["name", "version", "project_id"]),
        ProtectTenantTable(
            "PackageFile",
            parents={"package_id": "packages", "blob_id": "blobs"},
            grants=REMOVABLE,
        ),
        ProtectTenantTable("RegisteredModel", parents=IN_PROJECT),
        ProtectTenantTable(
            "RegisteredModelTag", parents=OF_MODEL, grants=REMOVABLE, keyed=False
        ),
        ProtectTenantTable(
            "ModelVersion",
            parents={**IN_PROJECT, **OF_MODEL, "run_id": "experiment_runs"},
        ),
        migrations.RunSQL(PACKAGE_KEY, NO_PACKAGE_KEY),
        ProtectTenantTable(
            "ModelVersionTag",
            parents={"model_version_id": "model_versions"},
            grants=REMOVABLE,
            keyed=False,
        ),
        ProtectTenantTable(
            "Alias",
            parents={**OF_MODEL, "model_version_id": "model_versions"},
            grants=REMOVABLE,
            keyed=False,
        ),
        ProtectTenantTable(
            "Deployment",
            parents={**IN_PROJECT, "model_version_id": "model_versions"},
        ),
    ]
