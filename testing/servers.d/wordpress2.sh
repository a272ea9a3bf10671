# A second WordPress, with its own folder, database and port and without any content: where copies are restored to.

. "$root/testing/servers.d/wordpress.sh"

seed() { php "$seeds/wordpress-empty.php" "$site"; }
