// /api/v1/routes
