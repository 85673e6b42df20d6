"""Events as JSON: `dumps`, `loads`, and the stand-in for an object that neither knows."""
