using System.Diagnostics;
using Fleet.Storage.Server;

namespace Fleet.Deploy.Tests;

/// <summary>Programs that judge deployment files, and those that the tests start.</summary>
internal static class Tool
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    /// <summary>Where docker looks for its plugins, which run by themselves as well.</summary>
    private static readonly string[] Plugins =
    [
        Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".docker", "cli-plugins"),
        "/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins",
        "/usr/libexec/docker/cli-plugins",
    ];

    /// <summary>Returns where a program is, or a plugin of docker; null where it is not installed.</summary>
    public static string? Find(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Concat(Plugins)
            .Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);

    /// <summary>The server's programs, which need not be in PATH.</summary>
    public static string Server(string name) => Path.Combine(PrivateServer.FindBinaries()!, name);

    public static async Task<Said> RunAsync(
        string program, IEnumerable<string> arguments, IEnumerable<KeyValuePair<string, string>>? variables = null,
        string? folder = null)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder ?? Checkout.Root,
        };
        foreach (var (name, value) in variables ?? [])
        {
            start.Environment[name] = value;
        }

        using var patience = new CancellationTokenSource(Patience);
        using var process = Process.Start(start)!;
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(patience.Token);
            var error = process.StandardError.ReadToEndAsync(patience.Token);
            await process.WaitForExitAsync(patience.Token);
            return new(process.ExitCode, await output, await error);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }
    }
}

/// <summary>What a program said, and how it ended.</summary>
internal sealed record Said(int ExitCode, string Output, string Error)
{
    public void MustBeFine() => Assert.True(ExitCode == 0, $"exit {ExitCode}\n{Output}\n{Error}");
}

/// <summary>A check by a program that may not be installed: then it is reported as missing, never as passed.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class ValidatorFactAttribute : FactAttribute
{
    public ValidatorFactAttribute(string program)
    {
        if (Tool.Find(program) is null)
        {
            Skip = $"MISSING validator: {program} is not installed; nothing was checked with it.";
        }
    }
}
