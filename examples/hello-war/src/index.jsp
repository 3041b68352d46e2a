<%@ page contentType="text/html;charset=UTF-8" session="false" %>
<!DOCTYPE html>
<html lang="en">
  <head>
    <title>Hello</title>
    <link rel="stylesheet" href="style.css">
  </head>
  <body>
    <h1>Hello from a WAR</h1>
    <p>version 1</p>
    <p>Served by <%= application.getServerInfo() %> at <%= request.getRequestURL() %></p>
  </body>
</html>
