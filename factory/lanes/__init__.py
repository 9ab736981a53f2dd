"""Images put together in the registry, with no engine: the patch lane (code, env, labels) and the weights lane."""
