"""How anything is written whole, found again and shared between processes; what picture files hold."""
