using System.CommandLine;
using Fleet.Client.Commands;
using Fleet.Silo.Options;

namespace Fleet.Deploy.Tests;

/// <summary>What the two programs take, from their own tables.</summary>
internal static class ProductOptions
{
    /// <summary>What the client reads besides its arguments; the names are the silo's.</summary>
    public static readonly string[] ClientVariables =
        ["FLEET_TLS_CERT", "FLEET_TLS_KEY", "FLEET_TLS_CA", "FLEET_TLS_PEER"];

    /// <summary>Says what is wrong with a variable of a silo; null where nothing is.</summary>
    /// <param name="fileOf">The file on this machine that stands for one of the deployment.</param>
    public static string? Refusal(string variable, string value, Func<string, string?> fileOf)
    {
        var option = SiloOptionTable.All.SingleOrDefault(option => option.Variable == variable);
        if (option is null)
        {
            return $"the silo has no variable {variable}";
        }

        var given = value.StartsWith('/') ? fileOf(value) : value;
        return given is null ? $"{variable}: nothing provides {value}"
            : option.Take(new SiloSettings(), given) is null ? $"{variable}={value}; accepted: {option.Accepted}"
            : null;
    }

    /// <summary>What the client's own parser has against a command line.</summary>
    public static IReadOnlyList<string> Refusals(IEnumerable<string> arguments)
    {
        using var nowhere = new StringWriter();
        return
        [
            .. FleetCommand.Create(new Terminal(nowhere, nowhere, isInteractive: false)).Parse([.. arguments]).Errors
                .Select(error => error.Message),
        ];
    }
}
