<?php
/* A small site on PostgreSQL: it shows its notes, and takes one more with ?add=. */
$config = require __DIR__ . '/config.php';
if ( parse_url( $_SERVER['REQUEST_URI'], PHP_URL_PATH ) !== '/' ) {
	http_response_code( 404 );
	exit( '<!doctype html><html><body>No such page.</body></html>' );
}
try {
	$database = new PDO( $config['dsn'], $config['user'], $config['password'], [ PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION ] );
	if ( isset( $_GET['add'] ) ) {
		$database->prepare( 'INSERT INTO notes (text) VALUES (?)' )->execute( [ $_GET['add'] ] );
	}
	$notes = $database->query( 'SELECT id, text FROM notes ORDER BY id' )->fetchAll();
} catch ( PDOException $error ) {
	error_log( $error->getMessage() );
	http_response_code( 500 );
	exit( '<!doctype html><html><body>The notes cannot be read.</body></html>' );
}
echo '<!doctype html><html><head><title>Notes</title></head><body><h1>Example Bakery: notes</h1><ul>';
foreach ( $notes as $note ) {
	echo '<li>' . htmlspecialchars( (string) $note['text'] ) . '</li>';
}
echo '</ul></body></html>';
