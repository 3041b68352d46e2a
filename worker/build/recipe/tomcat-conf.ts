import { MIME_TYPES } from "./mime-types.ts";

/*
 * Tomcat's configuration: all of it is ours. Shared by every WAR, so nothing here depends on one.
 */

const CONF = "/srv/tomcat/conf";
export const JAVA_ARGS_FILE = `${CONF}/java.args`;
export const CLASS_ARCHIVE = "/srv/tomcat/conf/classes.jsa";
/** How long requests that have begun may take after SIGTERM: below the pod's grace. */
export const DRAIN_MS = 10_000;

const XML = '<?xml version="1.0" encoding="UTF-8"?>\n';

/**
 * `bindOnInit` is off because Tomcat closes its port at the start of a drain only then. Only what
 * came through the ingress is logged, or probes would bury everything else; the attribute is set by
 * RemoteIpValve. No query string is logged: it may hold secrets. What opens /dev/stdout there belongs to the container's
 * user, as runtimes arrange it; where it does not, Tomcat says so once and serves without the log.
 */
const SERVER_XML = `${XML}<Server port="-1">
  <Listener className="org.apache.catalina.core.JreMemoryLeakPreventionListener"/>
  <Listener className="org.apache.catalina.core.ThreadLocalLeakPreventionListener"/>
  <Service name="Catalina" gracefulStopAwaitMillis="${DRAIN_MS}">
    <Connector port="\${waybill.http.port}" protocol="HTTP/1.1" bindOnInit="false"
      connectionTimeout="20000" keepAliveTimeout="75000" maxKeepAliveRequests="-1"
      URIEncoding="UTF-8" xpoweredBy="false"/>
    <Engine name="Catalina" defaultHost="localhost">
      <Host name="localhost" appBase="webapps" autoDeploy="false" deployOnStartup="true"
        deployXML="false" unpackWARs="false" createDirs="false" failCtxIfServletStartFails="true">
        <Valve className="org.apache.catalina.valves.RemoteIpValve"
          protocolHeader="X-Forwarded-Proto" portHeader="X-Forwarded-Port"/>
        <Valve className="org.apache.catalina.valves.ErrorReportValve"
          showReport="false" showServerInfo="false"/>
        <Valve className="org.apache.catalina.valves.JsonAccessLogValve"
          directory="/dev" prefix="stdout" suffix="" fileDateFormat="" rotatable="false"
          buffered="false" requestAttributesEnabled="true"
          conditionIf="org.apache.catalina.AccessLog.RemoteAddr"
          pattern="%t %a %m %U %s %B %D %{X-Request-Id}i"/>
      </Host>
    </Engine>
  </Service>
</Server>
`;

/** Tomcat's own jars are not scanned for fragments and TLDs, the WAR's are. Sessions are not kept over a restart. */
const CONTEXT_XML = `${XML}<Context>
  <JarScanner scanClassPath="false"/>
  <Manager pathname=""/>
</Context>
`;

/** Empty loaders: every jar of Tomcat is on the flat class path, which starts faster. */
const CATALINA_PROPERTIES = `common.loader=
server.loader=
shared.loader=
org.apache.el.GET_CLASSLOADER_USE_PRIVILEGED=false
`;

const LOGGING_PROPERTIES = `handlers=java.util.logging.ConsoleHandler
.handlers=java.util.logging.ConsoleHandler
.level=INFO
java.util.logging.ConsoleHandler.level=ALL
java.util.logging.ConsoleHandler.formatter=org.apache.juli.OneLineFormatter
java.util.logging.ConsoleHandler.encoding=UTF-8
`;

/**
 * The files of an image all have the same time, so an ETag of size and time would call a changed
 * file of equal size the same: `useStrongETags` takes the content instead. And a Last-Modified of
 * long ago would let browsers keep a file for years without asking: the filter makes them ask,
 * wherever the app itself says nothing about caching.
 */
const WEB_XML = `${XML}<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0">
  <servlet>
    <servlet-name>default</servlet-name>
    <servlet-class>org.apache.catalina.servlets.DefaultServlet</servlet-class>
    <init-param><param-name>listings</param-name><param-value>false</param-value></init-param>
    <init-param><param-name>readonly</param-name><param-value>true</param-value></init-param>
    <init-param><param-name>useStrongETags</param-name><param-value>true</param-value></init-param>
    <load-on-startup>1</load-on-startup>
  </servlet>
  <servlet>
    <servlet-name>jsp</servlet-name>
    <servlet-class>org.apache.jasper.servlet.JspServlet</servlet-class>
    <init-param><param-name>development</param-name><param-value>false</param-value></init-param>
    <init-param><param-name>fork</param-name><param-value>false</param-value></init-param>
    <init-param><param-name>xpoweredBy</param-name><param-value>false</param-value></init-param>
    <init-param><param-name>compilerSourceVM</param-name><param-value>17</param-value></init-param>
    <init-param><param-name>compilerTargetVM</param-name><param-value>17</param-value></init-param>
    <load-on-startup>3</load-on-startup>
  </servlet>
  <servlet-mapping><servlet-name>default</servlet-name><url-pattern>/</url-pattern></servlet-mapping>
  <servlet-mapping>
    <servlet-name>jsp</servlet-name>
    <url-pattern>*.jsp</url-pattern>
    <url-pattern>*.jspx</url-pattern>
  </servlet-mapping>
  <filter>
    <filter-name>revalidate</filter-name>
    <filter-class>org.apache.catalina.filters.ExpiresFilter</filter-class>
    <async-supported>true</async-supported>
    <init-param>
      <param-name>ExpiresDefault</param-name>
      <param-value>access plus 0 seconds</param-value>
    </init-param>
  </filter>
  <filter-mapping>
    <filter-name>revalidate</filter-name>
    <servlet-name>default</servlet-name>
    <dispatcher>REQUEST</dispatcher>
    <dispatcher>FORWARD</dispatcher>
  </filter-mapping>
  <session-config><session-timeout>30</session-timeout></session-config>
${Object.entries(MIME_TYPES)
  .map(
    ([extension, type]) =>
      `  <mime-mapping><extension>${extension}</extension><mime-type>${type}</mime-type></mime-mapping>`,
  )
  .join("\n")}
  <welcome-file-list>
    <welcome-file>index.html</welcome-file>
    <welcome-file>index.htm</welcome-file>
    <welcome-file>index.jsp</welcome-file>
  </welcome-file-list>
</web-app>
`;

/** Path in the image -> text. */
export const TOMCAT_CONF: Readonly<Record<string, string>> = {
  [`${CONF}/server.xml`]: SERVER_XML,
  [`${CONF}/context.xml`]: CONTEXT_XML,
  [`${CONF}/web.xml`]: WEB_XML,
  [`${CONF}/catalina.properties`]: CATALINA_PROPERTIES,
  [`${CONF}/logging.properties`]: LOGGING_PROPERTIES,
};

// What catalina.sh opens, since apps came to rely on it.
const OPENED = [
  "java.base/java.lang",
  "java.base/java.lang.reflect",
  "java.base/java.io",
  "java.base/java.util",
  "java.base/java.util.concurrent",
  "java.rmi/sun.rmi.transport",
];

/**
 * The JVM's argument file: everything that does not depend on the pod. The pod's own options come
 * by JDK_JAVA_OPTIONS, which the launcher puts before these; so what is here cannot be overridden,
 * and memory is not here. A class archive that does not fit is left aside by the JVM by itself.
 */
export function javaArgs(jars: readonly string[], classArchive: boolean): string {
  return [
    "-cp",
    jars.join(":"),
    ...OPENED.map((it) => `--add-opens=${it}=ALL-UNNAMED`),
    `-Djava.util.logging.config.file=${CONF}/logging.properties`,
    "-Djava.util.logging.manager=org.apache.juli.ClassLoaderLogManager",
    "-Dcatalina.home=/usr/share/tomcat10",
    "-Dcatalina.base=/srv/tomcat",
    "-Djava.io.tmpdir=/srv/tomcat/temp",
    "-Djava.awt.headless=true",
    "-Dwaybill.http.port=8080",
    "-XX:+ExitOnOutOfMemoryError",
    ...(classArchive ? [`-XX:SharedArchiveFile=${CLASS_ARCHIVE}`, "-Xshare:auto"] : []),
    "",
  ].join("\n");
}
