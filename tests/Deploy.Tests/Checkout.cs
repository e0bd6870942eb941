namespace Fleet.Deploy.Tests;

/// <summary>The files of the repository, from wherever the tests were built.</summary>
internal static class Checkout
{
    public static string Root { get; } = FindRoot();

    public static string Deploy { get; } = Path.Combine(Root, "deploy");

    /// <summary>As <c>dotnet publish --configuration</c> wants it: what these tests were built with.</summary>
    public static string Configuration { get; } =
        new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/')).Parent!.Name;

    public static string In(params string[] parts) => Path.Combine([Root, .. parts]);

    public static string Text(params string[] parts) => File.ReadAllText(In(parts));

    /// <summary>Variables of a file of NAME=VALUE lines.</summary>
    public static Dictionary<string, string> Variables(string path) => File.ReadAllLines(path)
        .Where(line => line.Length > 0 && line[0] != '#')
        .Select(line => line.Split('=', 2))
        .ToDictionary(pair => pair[0], pair => pair[1], StringComparer.Ordinal);

    private static string FindRoot()
    {
        var at = new DirectoryInfo(AppContext.BaseDirectory);
        while (at is not null && !File.Exists(Path.Combine(at.FullName, "Fleet.sln")))
        {
            at = at.Parent;
        }

        return at?.FullName ?? throw new DirectoryNotFoundException("Fleet.sln is in no directory above the tests.");
    }
}
