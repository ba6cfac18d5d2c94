"""A suite of digits that runs in seconds."""

from stampbench import suite

TINY = suite.Suite.model_validate(
    {
        "name": "tiny",
        "title": "Digits, in seconds",
        "presets": {
            "tiny": {
                "protocol": {
                    "train_images": 200,
                    "validation_images": 60,
                    "epochs": 1,
                    "batch_size": 32,
                    "precision": "fp32",
                    "threads": 1,
                    "learning_rate": {"random": 0.05, "reference": 0.05, "target": 0.05},
                    "reference": {"dataset": "glyphs", "epochs": 1, "images": 200},
                },
                "grid": [
                    {
                        "targets": ["digits"],
                        "networks": ["resnet18"],
                        "width": 0.125,
                        "methods": [
                            "dense",
                            {"name": "dense", "start": "reference"},
                            "random",
                            "magnitude",
                            {"name": "magnitude", "options": {"scope": "global"}},
                            {"name": "magnitude", "start": "target"},
                        ],
                        "budgets": [0.25],
                        "seeds": 2,
                    }
                ],
            }
        },
    }
)
JOBS = TINY.jobs("tiny", "fp32")
