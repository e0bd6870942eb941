using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Fleet.Silo;

/// <summary>What a silo process is told on its command line.</summary>
internal sealed record SiloArguments(string Cluster, string Spool, int SiloPort, int GatewayPort)
{
    private const int DefaultSiloPort = 11111;
    private const int DefaultGatewayPort = 30000;
    private const string Accepted = "accepted are --cluster NAME, --spool DIR, --silo-port N and --gateway-port N";

    /// <param name="wrong">What was wrong and what is accepted, one sentence.</param>
    public static bool TryParse(
        string[] args, [NotNullWhen(true)] out SiloArguments? arguments, [NotNullWhen(false)] out string? wrong)
    {
        (arguments, wrong) = (null, null);
        string? cluster = null, spool = null;
        var (siloPort, gatewayPort) = (DefaultSiloPort, DefaultGatewayPort);
        for (var i = 0; i < args.Length && wrong is null; i += 2)
        {
            var value = i + 1 < args.Length ? args[i + 1] : "";
            wrong = (args[i], value) switch
            {
                (_, "") => $"{args[i]} needs a value; {Accepted}.",
                ("--cluster", _) => Take(out cluster, value),
                ("--spool", _) => Take(out spool, value),
                ("--silo-port", _) => TakePort(args[i], out siloPort, value),
                ("--gateway-port", _) => TakePort(args[i], out gatewayPort, value),
                _ => $"There is no option {args[i]}; {Accepted}.",
            };
        }

        wrong ??= cluster is null ? $"--cluster is missing; {Accepted}."
            : spool is null ? $"--spool is missing; {Accepted}." : null;
        arguments = wrong is null ? new(cluster!, spool!, siloPort, gatewayPort) : null;
        return arguments is not null;
    }

    private static string? Take(out string? to, string value)
    {
        to = value;
        return null;
    }

    private static string? TakePort(string option, out int to, string value) =>
        int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out to) && to is > 0 and < 65536
            ? null : $"{option} is a port from 1 to 65535, not \"{value}\".";
}
