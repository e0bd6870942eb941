using System.Net;
using System.Text.Json;

namespace Fleet.Silo.Options;

/// <summary>An option is wrong: what, where it stands, and what is accepted, in one sentence.</summary>
internal sealed class SiloConfigurationException(string message) : Exception(message);

/// <summary>Reads the options of a silo process from arguments, environment and file, in this order of
/// precedence.</summary>
internal static class SiloConfiguration
{
    /// <param name="variable">Value of a variable of the environment; null where it is not set.</param>
    /// <exception cref="SiloConfigurationException">Something is missing or not accepted.</exception>
    public static SiloSettings Read(IReadOnlyList<string> args, Func<string, string?> variable)
    {
        var given = Arguments(args);
        var environment = SiloOptionTable.All
            .Select(option => (option.Name, Value: variable(option.Variable), Where: option.Variable))
            .Where(one => one.Value is { Length: > 0 })
            .ToDictionary(one => one.Name, one => (one.Value!, one.Where), StringComparer.Ordinal);
        var config = given.TryGetValue("config", out var named) || environment.TryGetValue("config", out named)
            ? FromFile(named.Value, named.Where)
            : [];
        var settings = new SiloSettings();
        foreach (var option in SiloOptionTable.All)
        {
            if (given.TryGetValue(option.Name, out var found) || environment.TryGetValue(option.Name, out found)
                || config.TryGetValue(option.Name, out found))
            {
                settings = option.Take(settings, found.Value) ?? throw new SiloConfigurationException(
                    $"{found.Where} is {Shown(option, found.Value)}; accepted: {option.Accepted}.");
            }
        }

        Demand(settings);
        return settings;
    }

    private static void Demand(SiloSettings settings)
    {
        foreach (var (name, value) in ((string, string)[])[("cluster", settings.Cluster), ("store", settings.Store)])
        {
            var option = SiloOptionTable.All.Single(one => one.Name == name);
            Demand(
                value.Length > 0,
                $"{option.Argument} is missing; accepted: {option.Accepted}, also from {option.Variable} or the file "
                + "of --config.");
        }

        Demand(
            (settings.TlsCert is null) == (settings.TlsKey is null)
            && (settings.TlsCert is null) == (settings.TlsCa is null),
            "TLS needs --tls-cert, --tls-key and --tls-ca, and some of them are missing; accepted: all three, or "
            + "none.");
        Demand(
            settings.TlsPeer is null || settings.HasTls,
            "--tls-peer names the peers of TLS, which is off; accepted: with --tls-cert, --tls-key and --tls-ca.");
        Demand(
            settings.Advertise is not null || !IsAny(settings.Listen),
            $"--listen {settings.Listen} is every address, and others need one; accepted: with --advertise ADDRESS.");
        Demand(
            settings.Advertise is not { } advertised || !IsAny(advertised),
            $"--advertise {settings.Advertise} is no address to connect to; accepted: one of this machine.");
        Demand(
            IPAddress.IsLoopback(settings.Listen) || settings.HasTls || settings.IsInsecure,
            $"--listen {settings.Listen} lets others reach the gateway, which asks nobody who he is; accepted: with "
            + "--tls-cert, --tls-key and --tls-ca, or with --insecure.");
        Demand(
            settings.DashboardPort is null || IPAddress.IsLoopback(settings.DashboardListen) || settings.IsInsecure
            || (settings.HasTls && settings.DashboardPasswordFile is not null),
            $"--dashboard-listen {settings.DashboardListen} lets others reach the dashboard; accepted: with "
            + "--dashboard-password-file and the three files of TLS, or with --insecure.");
    }

    private static void Demand(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new SiloConfigurationException(otherwise);
        }
    }

    private static Dictionary<string, (string Value, string Where)> Arguments(IReadOnlyList<string> args)
    {
        var given = new Dictionary<string, (string, string)>(StringComparer.Ordinal);
        for (var at = 0; at < args.Count; at++)
        {
            var (name, value) = args[at].Split('=', 2) is [var before, var after] ? (before, after) : (args[at], null);
            var option = SiloOptionTable.All.FirstOrDefault(one => one.Argument == name)
                ?? throw new SiloConfigurationException(
                    $"There is no option {Quoted(name)}; accepted: "
                    + $"{string.Join(", ", SiloOptionTable.All.Select(one => one.Argument))}.");
            var isNext = value is null && at + 1 < args.Count
                && !args[at + 1].StartsWith("--", StringComparison.Ordinal)
                && (!option.IsFlag || args[at + 1] is "yes" or "no");
            value ??= isNext ? args[++at] : option.IsFlag ? "yes" : throw new SiloConfigurationException(
                $"{option.Argument} needs a value; accepted: {option.Accepted}.");
            if (!given.TryAdd(option.Name, (value, option.Argument)))
            {
                throw new SiloConfigurationException($"{option.Argument} is given twice; accepted: once.");
            }
        }

        return given;
    }

    private static Dictionary<string, (string Value, string Where)> FromFile(string path, string where)
    {
        const string Accepted = "accepted: a JSON object of options, each a string, a number, true or false";
        var read = new Dictionary<string, (string, string)>(StringComparer.Ordinal);
        try
        {
            using var document = JsonDocument.Parse(
                File.ReadAllBytes(path),
                new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            if (document.RootElement.ValueKind is not JsonValueKind.Object)
            {
                throw new SiloConfigurationException($"{path} holds no object; {Accepted}.");
            }

            foreach (var property in document.RootElement.EnumerateObject())
            {
                var option = SiloOptionTable.All.FirstOrDefault(
                    one => one.Name == property.Name && one.Name != "config")
                    ?? throw new SiloConfigurationException(
                        $"{path} has the option {Quoted(property.Name)}; accepted: "
                        + $"{string.Join(", ", SiloOptionTable.All.Skip(1).Select(one => one.Name))}.");
                var value = property.Value.ValueKind switch
                {
                    JsonValueKind.String => property.Value.GetString()!,
                    JsonValueKind.Number => property.Value.GetRawText(),
                    JsonValueKind.True => "yes",
                    JsonValueKind.False => "no",
                    _ => throw new SiloConfigurationException($"{path}: {property.Name} is no value; {Accepted}."),
                };
                read[property.Name] = (value, $"{property.Name} in {path}");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SiloConfigurationException($"{where} names {path}, which cannot be read; accepted: a JSON file.");
        }
        catch (JsonException e)
        {
            throw new SiloConfigurationException(
                $"{path} is no JSON, line {e.LineNumber + 1}; accepted: a JSON object of options.");
        }

        return read;
    }

    private static bool IsAny(IPAddress address) => address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any);

    /// <summary>A store's address may hold a password.</summary>
    private static string Shown(SiloOption option, string value) =>
        option.Name == "store" ? "not usable" : Quoted(value);

    /// <summary>What somebody typed may hold anything.</summary>
    private static string Quoted(string text)
    {
        const int ShownMax = 80;
        var clean = new string([.. text.Where(letter => !char.IsControl(letter))]);
        return $"\"{(clean.Length > ShownMax ? clean[..ShownMax] + "…" : clean)}\"";
    }
}
