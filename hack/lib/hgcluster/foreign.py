def docker_answers() -> bool: return False
