using System.Globalization;
using System.Net;
using System.Text;
using Fleet.Storage.Cluster;
using Microsoft.Extensions.Logging;

namespace Fleet.Silo.Options;

/// <summary>Every option of a silo process: the one place from which parsing, help and documentation are
/// made.</summary>
internal static class SiloOptionTable
{
    private const string None = "none";
    private const string Off = "off";
    private const string YesNo = "yes, no";
    private const string FileForm = "a file that can be read";
    private const string AddressForm = "an IP address";
    private const string DurationForm = "a duration such as 500ms, 10s, 2m";
    private const int PortMax = 65535;

    public static IReadOnlyList<SiloOption> All { get; } =
    [
        new("config", None, "a JSON file of these options", "Options from a file; environment and arguments win.",
            static (settings, _) => settings),
        new("cluster", "must be given", "a name of up to 95 letters, digits, '-', '_', '.' that does not end in .idle",
            "Silos and clients of one name and one store are one cluster.",
            static (settings, value) => IsName(value) && !IsIdle(value) ? settings with { Cluster = value } : null),
        new("store", "must be given", "postgres://USER@HOST:PORT/DATABASE[?OPTION=VALUE], private[:DIR]",
            "The database of the cluster; passwords come from passfile= or PGPASSWORD, TLS from sslmode=, "
            + "sslrootcert=, sslcert=, sslkey=.",
            static (settings, value) => settings with { Store = value }),
        new("name", "silo-1", "a name of up to 95 letters, digits, '-', '_', '.'",
            "Names the silo; unique in its cluster.",
            static (settings, value) => IsName(value) ? settings with { Name = value } : null),
        new("listen", "127.0.0.1", AddressForm,
            "Where the silo and its gateway listen; what is not loopback needs mutual TLS, or insecure.",
            static (settings, value) => Ip(value) is { } ip ? settings with { Listen = ip } : null),
        new("advertise", "as listen", AddressForm,
            "What others connect to; must be given when listen is 0.0.0.0 or ::.",
            static (settings, value) => Ip(value) is { } ip ? settings with { Advertise = ip } : null),
        new("silo-port", "0", "a port from 1 to 65535, or 0 for a free one", "Where other silos connect.",
            static (settings, value) => Port(value) is { } port ? settings with { SiloPort = port } : null),
        new("gateway-port", "0", "a port from 1 to 65535, or 0 for a free one", "Where clients connect.",
            static (settings, value) => Port(value) is { } port ? settings with { GatewayPort = port } : null),
        new("health-port", Off, "a port from 1 to 65535, 0 for a free one, off",
            "Answers /healthz, /readyz and /status.",
            static (settings, value) => value == Off ? settings with { HealthPort = null }
                : Port(value) is { } port ? settings with { HealthPort = port } : null),
        new("health-listen", "127.0.0.1", AddressForm,
            "Where those listen; they take no input and tell no secret, so that probes may reach them.",
            static (settings, value) => Ip(value) is { } ip ? settings with { HealthListen = ip } : null),
        new("dashboard-port", Off, "a port from 1 to 65535, 0 for a free one, off", "Orleans' dashboard.",
            static (settings, value) => value == Off ? settings with { DashboardPort = null }
                : Port(value) is { } port ? settings with { DashboardPort = port } : null),
        new("dashboard-listen", "127.0.0.1", AddressForm,
            "Where it listens; what is not loopback needs a password file and TLS, or insecure.",
            static (settings, value) => Ip(value) is { } ip ? settings with { DashboardListen = ip } : null),
        new("dashboard-password-file", None, FileForm, "The dashboard asks for user fleet and this password.",
            static (settings, value) => File.Exists(value) ? settings with { DashboardPasswordFile = value } : null),
        new("tls-cert", None, FileForm, "Certificate of this silo, PEM, with those between it and the authority.",
            static (settings, value) => File.Exists(value) ? settings with { TlsCert = value } : null),
        new("tls-key", None, FileForm, "Its private key, PEM.",
            static (settings, value) => File.Exists(value) ? settings with { TlsKey = value } : null),
        new("tls-ca", None, FileForm,
            "The authority, PEM: silos and clients without a certificate of it are refused. All three files or none.",
            static (settings, value) => File.Exists(value) ? settings with { TlsCa = value } : null),
        new("tls-peer", None, "a DNS name",
            "Name that a peer's certificate must carry; without it every certificate of the authority is let in.",
            static (settings, value) => settings with { TlsPeer = value }),
        new("insecure", "no", YesNo, "Lets others reach listeners without mutual TLS; the silo warns.",
            static (settings, value) => Claim(value) is { } yes ? settings with { IsInsecure = yes } : null)
        {
            IsFlag = true,
        },
        new("otlp", Off, "http://HOST:PORT, https://HOST:PORT, off", "Where metrics and traces are sent.",
            static (settings, value) => value == Off ? settings with { Otlp = null }
                : Uri.TryCreate(value, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"
                    ? settings with { Otlp = uri } : null),
        new("otlp-protocol", "http", "http, grpc", "How they are sent: protobuf over HTTP, or gRPC.",
            static (settings, value) =>
                Word<OtlpForm>(value) is { } form ? settings with { OtlpForm = form } : null),
        new("trace-share", "0.01", "a number from 0 to 1", "Share of calls that are traced, where otlp is given.",
            static (settings, value) => double.TryParse(
                value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var share)
                && share is >= 0 and <= 1 ? settings with { TraceShare = share } : null),
        new("log-format", "text", "text, json", "Lines for people, or one JSON object a line; both on standard error.",
            static (settings, value) => Word<LogForm>(value) is { } form ? settings with { LogForm = form } : null),
        new("log-level", "warning", "trace, debug, information, warning, error, critical",
            "The least that is logged; retries are never told below error.",
            static (settings, value) => value != "none" && Word<LogLevel>(value) is { } level
                ? settings with { LogLevel = level } : null),
        new("stop-patience", "10s", DurationForm, "How long leaving the cluster may take after SIGTERM.",
            static (settings, value) =>
                Duration(value) is { } patience ? settings with { StopPatience = patience } : null),
        new("ports-file", None, "a path",
            "Written once health checks are answered: process id and their port, JSON; removed at its end.",
            static (settings, value) => settings with { PortsFile = value }),
        new("once", "no", YesNo, "Ends after the first run, instead of waiting for the next.",
            static (settings, value) => Claim(value) is { } yes ? settings with { IsOnce = yes } : null)
        {
            IsFlag = true,
        },
        new("child", "no", YesNo, "Ends with standard input, so that it never outlives who started it.",
            static (settings, value) => Claim(value) is { } yes ? settings with { IsChild = yes } : null)
        {
            IsFlag = true,
        },
    ];

    /// <summary>The table of <c>docs/silo.md</c>.</summary>
    public static string ToMarkdown()
    {
        var table = new StringBuilder("| option | variable | default | accepted | meaning |\n|---|---|---|---|---|\n");
        foreach (var option in All)
        {
            table.Append(
                CultureInfo.InvariantCulture,
                $"| `{option.Argument}` | `{option.Variable}` | {option.Default} | {option.Accepted} | ");
            table.Append(option.Meaning).Append(" |\n");
        }

        return table.ToString();
    }

    /// <summary>What <c>--help</c> prints.</summary>
    public static string ToHelp()
    {
        var help = new StringBuilder(
            "A silo of Fleet: waits for runs of its cluster and serves them until it is told to stop.\n\n"
            + "Arguments win over the environment, the environment over the file of --config.\n"
            + "In the file an option stands under its name without dashes before it:\n"
            + "{ \"cluster\": \"a\", \"silo-port\": 11111 }.\n\n");
        foreach (var option in All)
        {
            help.Append(CultureInfo.InvariantCulture, $"{option.Argument}  {option.Variable}\n    {option.Meaning}\n");
            help.Append(CultureInfo.InvariantCulture, $"    accepted: {option.Accepted}; default: {option.Default}\n");
        }

        return help.ToString();
    }

    /// <summary>Names of cluster and silo stand in tables, log lines and addresses.</summary>
    private static bool IsName(string value) => value.Length is > 0 and <= 95 && value[0] is not '.'
        && value.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '-' or '_' or '.');

    private static bool IsIdle(string cluster) =>
        cluster.EndsWith(PostgresCluster.IdleSuffix, StringComparison.Ordinal);

    private static IPAddress? Ip(string value) => IPAddress.TryParse(value, out var ip) ? ip : null;

    private static int? Port(string value) =>
        int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port <= PortMax
            ? port : null;

    private static bool? Claim(string value) => value switch
    {
        "yes" => true,
        "no" => false,
        _ => null,
    };

    private static TWord? Word<TWord>(string value)
        where TWord : struct, Enum =>
        value.All(char.IsAsciiLetterLower) && Enum.TryParse<TWord>(value, ignoreCase: true, out var word) ? word : null;

    private static TimeSpan? Duration(string value)
    {
        var digits = value.AsSpan().TrimEnd("msh");
        return int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            && number < 1_000_000
            ? value[digits.Length..] switch
            {
                "ms" => TimeSpan.FromMilliseconds(number),
                "s" => TimeSpan.FromSeconds(number),
                "m" => TimeSpan.FromMinutes(number),
                _ => null,
            }
            : null;
    }
}
