namespace Fleet.Storage;

/// <summary>SQL texts that travel inside the assembly.</summary>
internal static class Resources
{
    public static string Text(string path)
    {
        using var stream = typeof(Resources).Assembly.GetManifestResourceStream(path)
            ?? throw new StorageInvariantException($"The resource {path} is missing.");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
