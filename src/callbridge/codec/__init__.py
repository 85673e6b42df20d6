"""Events as JSON: `dumps`, `loads`, and what they take for an object that neither knows."""
