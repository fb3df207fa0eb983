"""scikit-learn as a data scientist uses it: autolog, a grid, the model read back."""

from __future__ import annotations

import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.tree import DecisionTreeClassifier

data = load_iris(as_frame=True)
x_train, x_test, y_train, y_test = train_test_split(
    data.data, data.target, random_state=7
)
mlflow.set_experiment("sklearn autolog")
mlflow.sklearn.autolog(log_datasets=True)

with mlflow.start_run(run_name="one model") as run:
    model = LogisticRegression(max_iter=500).fit(x_train, y_train)
    print("score", round(model.score(x_test, y_test), 6))
loaded = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
print("read back", [int(each) for each in loaded.predict(x_test)])

# Its runs are what is to be seen; a model takes long to write.
mlflow.sklearn.autolog(log_models=False)
with mlflow.start_run(run_name="grid"):
    grid = GridSearchCV(
        DecisionTreeClassifier(random_state=7), {"max_depth": [1, 2, 3]}, cv=3
    )
    grid.fit(x_train, y_train)
print("best", grid.best_params_)
