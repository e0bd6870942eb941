using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Fleet.Silo;

/// <summary>What a silo process is told on its command line.</summary>
/// <param name="Store">Address of the PostgreSQL store; null takes <see cref="StoreVariable"/>.</param>
/// <param name="SiloPort">On loopback; 0 takes a free one, and so for the gateway's.</param>
/// <param name="IsChild">Ends when standard input does, so that it never outlives who started it.</param>
internal sealed record SiloArguments(
    string Cluster, string? Store, string Name, int SiloPort, int GatewayPort, bool IsChild)
{
    /// <summary>Where a store's address may stand that must not be seen in a list of processes.</summary>
    public const string StoreVariable = "FLEET_STORE";

    private const string Accepted =
        "accepted are --cluster NAME, --store URL, --name NAME, --silo-port N, --gateway-port N and --child yes";

    /// <param name="wrong">What was wrong and what is accepted, one sentence.</param>
    public static bool TryParse(
        string[] args, [NotNullWhen(true)] out SiloArguments? arguments, [NotNullWhen(false)] out string? wrong)
    {
        (arguments, wrong) = (null, null);
        string? cluster = null, store = null, name = "silo-1", child = null;
        var (siloPort, gatewayPort) = (0, 0);
        for (var i = 0; i < args.Length && wrong is null; i += 2)
        {
            var value = i + 1 < args.Length ? args[i + 1] : "";
            wrong = (args[i], value) switch
            {
                (_, "") => $"{args[i]} needs a value; {Accepted}.",
                ("--cluster", _) => Take(out cluster, value),
                ("--store", _) => Take(out store, value),
                ("--name", _) => Take(out name, value),
                ("--child", "yes") => Take(out child, value),
                ("--silo-port", _) => TakePort(args[i], out siloPort, value),
                ("--gateway-port", _) => TakePort(args[i], out gatewayPort, value),
                _ => $"There is no option {args[i]} {value}; {Accepted}.",
            };
        }

        wrong ??= cluster is null ? $"--cluster is missing; {Accepted}." : null;
        arguments = wrong is null ? new(cluster!, store, name!, siloPort, gatewayPort, child is not null) : null;
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
