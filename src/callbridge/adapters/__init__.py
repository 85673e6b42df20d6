"""The glue to outside parties: LangChain's callback managers, runnables, old handlers, and the user's loops."""
