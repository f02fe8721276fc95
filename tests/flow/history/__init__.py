"""What the stories with a real database stand on: an app for each server (kv_app), many clients (kv_load), and who judges what they saw."""
